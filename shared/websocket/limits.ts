// What bounds a WebSocket between gate's own programs, and the channels in it.

/** Largest message either side sends. */
export const MAX_MESSAGE_BYTES = 1024 * 1024
/** Largest piece of a channel's bytes; longer writes are cut into several, so that other channels get between them. */
export const MAX_FRAME_BYTES = 128 * 1024
/** Bytes waiting to be sent on one socket before writers have to wait. */
export const SEND_HIGH_WATER_BYTES = 256 * 1024
/** Messages, credit and ends, which wait for nobody, that may be queued behind a full socket before its peer is given up. */
export const MAX_UNTAKEN_BYTES = 8 * 1024 * 1024
/** Bytes of one channel that may be on their way or unread at the other side, to begin with. */
export const WINDOW_BYTES = 512 * 1024
/**
 * So much it becomes where the way is long and what comes is read at once: 8 MiB each 100 ms are 80 MB/s, where 512 kB would be
 * 5 MB/s.
 */
export const MAX_WINDOW_BYTES = 8 * 1024 * 1024
/** Bytes by which the windows of one tunnel may have grown, and those of a process. */
export const MAX_TUNNEL_GROWN_BYTES = 32 * 1024 * 1024
export const MAX_GROWN_BYTES = 128 * 1024 * 1024
/** Channels of one tunnel at a time. */
export const MAX_CHANNELS = 16_384
/** A peer that is silent for this long, although it was pinged, is gone. */
export const SILENCE_LIMIT_MS = 45_000
export const PING_INTERVAL_MS = 15_000
/** Time for the closing handshake before the socket is torn down. */
export const CLOSE_GRACE_MS = 2_000
