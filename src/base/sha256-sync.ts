// SHA-256 without waiting, which the platforms' own cannot do: for the checksums of small states.
// FIPS 180-4.

/**
 * The first 32 bits of the fractions of roots of the first primes: square roots for the start, cube
 * roots for the rounds.
 */
function computeRootFractions(count: number, root: (value: number) => number): Uint32Array {
  const primes: number[] = []
  for (let candidate = 2; primes.length < count; candidate++)
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate)
  return Uint32Array.from(primes, (prime) => (root(prime) % 1) * 2 ** 32)
}

const start = computeRootFractions(8, Math.sqrt)
const rounds = computeRootFractions(64, Math.cbrt)

/** The state before the first block. */
export const createSha256State = (): Uint32Array => start.slice()

/** Takes one block of 64 bytes into the state; `words` has its 16 words and room for 48 more. */
export function addSha256Block(state: Uint32Array, words: Int32Array): void {
  for (let i = 16; i < 64; i++) {
    const a = words[i - 15]!
    const b = words[i - 2]!
    const low = rotateRight(a, 7) ^ rotateRight(a, 18) ^ (a >>> 3)
    const high = rotateRight(b, 17) ^ rotateRight(b, 19) ^ (b >>> 10)
    words[i] = words[i - 16]! + low + words[i - 7]! + high
  }
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let d = state[3]!
  let e = state[4]!
  let f = state[5]!
  let g = state[6]!
  let h = state[7]!
  for (let i = 0; i < 64; i++) {
    const first =
      (h +
        (rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25)) +
        ((e & f) ^ (~e & g)) +
        rounds[i]! +
        words[i]!) |
      0
    const second =
      ((rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22)) +
        ((a & b) ^ (a & c) ^ (b & c))) |
      0
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + second) | 0
  }
  state[0]! += a
  state[1]! += b
  state[2]! += c
  state[3]! += d
  state[4]! += e
  state[5]! += f
  state[6]! += g
  state[7]! += h
}

const rotateRight = (value: number, by: number): number => (value >>> by) | (value << (32 - by))

/** The hash in hexadecimal. */
export function computeSha256Sync(bytes: Uint8Array): string {
  const state = createSha256State()
  const words = new Int32Array(64)
  const whole = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64)
  whole.set(bytes)
  whole[bytes.length] = 0x80
  const view = new DataView(whole.buffer)
  view.setBigUint64(whole.length - 8, BigInt(bytes.length) * 8n)
  for (let at = 0; at < whole.length; at += 64) {
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i)
    addSha256Block(state, words)
  }
  return formatSha256(state)
}

/** The state in hexadecimal. */
export function formatSha256(state: Uint32Array): string {
  let text = ''
  for (const word of state) text += word.toString(16).padStart(8, '0')
  return text
}
