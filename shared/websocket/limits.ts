// What bounds a WebSocket between gate's own programs.

/** Largest message either side sends; longer writes are cut into several. */
export const MAX_MESSAGE_BYTES = 1024 * 1024
/** Bytes waiting to be sent on one socket before writers have to wait. */
export const SEND_HIGH_WATER_BYTES = 1024 * 1024
/** A peer that is silent for this long, although it was pinged, is gone. */
export const SILENCE_LIMIT_MS = 45_000
export const PING_INTERVAL_MS = 15_000
/** Time for the closing handshake before the socket is torn down. */
export const CLOSE_GRACE_MS = 2_000
