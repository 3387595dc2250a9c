// Turns between tabs that write the same entry of localStorage. Web Locks order the tabs, but a tab
// may see what another wrote some milliseconds after it got the lock, because each process has its
// own copy. So a writer leaves a note of the version it wrote, and the next one waits until it sees
// that.
//
// A note is itself a lock that is held for a while, since locks are what all tabs see at once:
// `<key>@<number>:<version>`, the highest number last.

/**
 * Longer than any copy lags behind, also on a machine with much else to do; a note costs next to
 * nothing.
 */
const markMs = 3000
const pollMs = 2

const delay = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

interface VersionMark {
  readonly number: number
  readonly version: number
}

/** The newest note for a key, or one of no number where none was left lately. */
async function findNewestMark(key: string): Promise<VersionMark | undefined> {
  const { held = [] } = await navigator.locks.query()
  const notes = held.flatMap(({ name = '' }) => {
    const [number, version] = name.startsWith(`${key}@`)
      ? name
          .slice(key.length + 1)
          .split(':')
          .map(Number)
      : []
    return number === undefined || version === undefined ? [] : [{ number, version }]
  })
  return notes.sort((a, b) => b.number - a.number)[0]
}

/**
 * Resolves once this tab sees a key as the last writer left it: `getCurrentVersion` is what it
 * sees. If that never becomes the note's value, the entry was removed by other means. Gives the
 * note.
 */
export async function waitForLatest(
  key: string,
  versionOf: () => number,
): Promise<VersionMark | undefined> {
  for (const until = performance.now() + markMs; ;) {
    const note = await findNewestMark(key)
    if (!note || versionOf() === note.version || performance.now() > until) return note
    await delay(pollMs)
  }
}

/** Resolves when the note is visible to all tabs; it is removed automatically. */
const leaveMark = (key: string, { number, version }: VersionMark): Promise<void> =>
  new Promise((resolve, reject) => {
    const hold = (): Promise<void> => {
      resolve()
      return delay(markMs)
    }
    navigator.locks.request(`${key}@${number}:${version}`, hold).catch(reject)
  })

/**
 * Does the work in its own turn among all tabs, once the key is seen as the last writer left it;
 * the work gives the version that it leaves (0 for none).
 */
export async function runExclusively(
  turn: string,
  key: string,
  versionOf: () => number,
  work: () => number,
): Promise<number> {
  const result: unknown = await navigator.locks.request(turn, async () => {
    const note = await waitForLatest(key, versionOf)
    const version = work()
    await leaveMark(key, { number: (note?.number ?? 0) + 1, version })
    return version
  })
  return result as number
}
