// skopeo, a tool for OCI images, for tests: the one that is there, or Debian's, which is installed
// where this process may.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const installMs = 240_000
const hint = 'install it (apt-get install skopeo)'

export type FoundSkopeo =
  { readonly run: (...args: string[]) => string } | { readonly reason: string }

/** Runs skopeo, or says why there is none; installed where there is none and it may be. */
export function findSkopeo(): FoundSkopeo {
  const reason = isInstalled() ? undefined : install()
  return reason === undefined ? { run } : { reason }
}

const isInstalled = (): boolean => spawnSync('skopeo', ['--version']).status === 0

function run(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('skopeo', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`skopeo ${args.join(' ')}: ${stderr}`)
  return stdout
}

/** By apt, where this is Debian and we may; the reason where not. */
function install(): string | undefined {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    return `there is no skopeo here; ${hint}`
  const apt = (...args: string[]) =>
    spawnSync('apt-get', args, {
      timeout: installMs,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  const args = ['install', '-y', '--no-install-recommends', 'skopeo']
  if (apt(...args).status !== 0 && (apt('update').status !== 0 || apt(...args).status !== 0))
    return `apt-get could not install skopeo; ${hint}`
  return isInstalled() ? undefined : `skopeo does not run here; ${hint}`
}
