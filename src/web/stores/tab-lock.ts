// Serialises tabs that write the same entry of localStorage. Web Locks order the tabs, but a tab
// may see another tab's write some milliseconds after it got the lock, because each process has a
// copy. So a writer publishes the version it wrote, and the next one waits until it sees that
// version.
//
// The version is published as the name of a lock that is held for a while, because all tabs see
// locks immediately: `<key>@<number>:<version>`; the highest number is the newest.

/** Longer than the delay of any copy, also on a busy machine; a held lock costs nearly nothing. */
const markMs = 3000
const pollMs = 2

const delay = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

interface VersionMark {
  readonly number: number
  readonly version: number
}

/** The newest published version of a key, or one without a number if there is no recent one. */
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
 * Resolves once this tab sees the last writer's version of a key, according to `getCurrentVersion`.
 * If it never sees it, the entry was removed by other means. Returns the published version.
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

/** Publishes a version; resolves when all tabs see it. It is removed automatically. */
const leaveMark = (key: string, { number, version }: VersionMark): Promise<void> =>
  new Promise((resolve, reject) => {
    const hold = (): Promise<void> => {
      resolve()
      return delay(markMs)
    }
    navigator.locks.request(`${key}@${number}:${version}`, hold).catch(reject)
  })

/**
 * Runs the work exclusively among all tabs, once this tab sees the last writer's version of the
 * key. The work returns the version that it wrote (0 for none).
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
