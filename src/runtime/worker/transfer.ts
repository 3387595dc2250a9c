// Which buffers are moved to the other thread instead of copied.

const transfers = new WeakMap<object, readonly ArrayBuffer[]>()

/**
 * Marks a value, so that these buffers are moved when it is sent: nothing is copied, and the sender
 * cannot read them afterwards. Default: the buffer of a typed array. Shared buffers are never
 * copied and need no mark.
 */
export function markTransfer<Value extends object>(
  value: Value,
  buffers?: readonly ArrayBuffer[],
): Value {
  const own = ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer ? [value.buffer] : []
  transfers.set(value, buffers ?? own)
  return value
}

export const findTransfers = (value: object): readonly ArrayBuffer[] | undefined =>
  transfers.get(value)
