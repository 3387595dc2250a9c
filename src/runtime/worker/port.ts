// The channel between two threads. Independent of Node and of the DOM: a MessagePort of either
// fits, a browser's Worker fits, and so does anything with these two members.

export interface RemotePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
  /**
   * Set here. `never`, because the event's class differs between platforms; optional, because
   * Node's types leave it out. The event has `data`.
   */
  onmessage?: ((event: never) => void) | null
}

/** Calls `take` for each message. */
export function listenToPort(port: RemotePort, take: (message: unknown) => void): void {
  const onmessage = (event: { readonly data: unknown }): void => take(event.data)
  Object.assign(port, { onmessage }) // this starts a MessagePort, which addEventListener does not
}
