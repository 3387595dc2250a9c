// Where readers put the calls that they find.

/** Calls one after the other: `start`, any number of `append`, `end`. */
export interface CallSink {
  /** Only once it is sure that this is a call. */
  start(name: string): void
  /** A piece of the arguments' JSON text. */
  append(text: string): void
  end(id?: string): void
}
