// Large pages for weights. A token reads every weight once; with pages of 4 KiB the processor
// spends up to a third of that time on finding them. glibc requests pages of 2 MiB from Linux only
// if a variable is set before the process starts, so the command replaces itself by a new start
// with that variable.

import { readFileSync } from 'node:fs'

const variable = 'GLIBC_TUNABLES'
const tunable = 'glibc.malloc.hugetlb'
const pagesFile = '/sys/kernel/mm/transparent_hugepage/enabled'

/** Commands that compute with a model; the others would only start later. */
const computing: ReadonlySet<string> = new Set([
  'bench',
  'chat',
  'eval',
  'improve',
  'learn',
  'quickstart',
  'run',
  'serve',
  'train',
])

export interface StartedProcess {
  readonly platform: string
  readonly argv: readonly string[]
  readonly execArgv: readonly string[]
  readonly execPath: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Puts another program in the place of this one; not there on every platform. */
  readonly execve?:
    ((file: string, args: readonly string[], env: NodeJS.ProcessEnv) => void) | undefined
}

/**
 * Starts the command again with large pages if Linux gives them on request only; does nothing if it
 * gives them to all or to none, or if the variable is already set.
 */
export function useHugePages(
  command: string | undefined,
  current: StartedProcess = process as StartedProcess,
  readPages: () => string = () => readFileSync(pagesFile, 'utf8'),
): void {
  const { platform, argv, execArgv, execPath, env, execve } = current
  const args = argv.slice(1)
  if (platform !== 'linux' || !execve || !computing.has(command ?? '')) return
  // a replica's pipes would be closed; the program that starts replicas passes the variable on
  if (args.includes('--help') || env['GRAFT_REPLICA']) return
  const set = env[variable] ?? ''
  if (set.includes(tunable) || !isOnRequest(readPages)) return
  const wanted = [set, `${tunable}=1`].filter((part) => part !== '').join(':')
  // Where the system refuses, the command continues as it is: it is slower, and not wrong.
  try {
    execve.call(current, execPath, [execPath, ...execArgv, ...args], {
      ...env,
      [variable]: wanted,
    })
  } catch {}
}

/** Whether a process gets large pages where it asks for them. */
function isOnRequest(readPages: () => string): boolean {
  try {
    return readPages().includes('[madvise]')
  } catch {
    return false
  }
}
