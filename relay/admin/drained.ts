// Waiting for a reader of the API who takes less than there is.

/** Resolves when the stream takes more, or is closed. */
export function drained(stream: NodeJS.WritableStream): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      stream.off('drain', done)
      stream.off('close', done)
      resolve()
    }
    stream.once('drain', done)
    stream.once('close', done)
  })
}
