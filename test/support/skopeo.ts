// skopeo, a tool for OCI images, for tests: the one that is there, or Debian's, which is installed
// where this process may.
import { spawnSync } from 'node:child_process'
import { canInstall, installPackage } from './debian-package.ts'

const hint = 'install it (apt-get install skopeo)'

export type FoundSkopeo =
  { readonly run: (...args: string[]) => string } | { readonly reason: string }

/** Runs skopeo, or says why there is none; installed where there is none and it may be. */
export async function findSkopeo(): Promise<FoundSkopeo> {
  const reason = isInstalled() ? undefined : await install()
  return reason === undefined ? { run } : { reason }
}

const isInstalled = (): boolean => spawnSync('skopeo', ['--version']).status === 0

function run(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('skopeo', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`skopeo ${args.join(' ')}: ${stderr}`)
  return stdout
}

/** The reason where it cannot be installed. */
async function install(): Promise<string | undefined> {
  if (!canInstall()) return `there is no skopeo here; ${hint}`
  if (!(await installPackage('skopeo'))) return `apt-get could not install skopeo; ${hint}`
  return isInstalled() ? undefined : `skopeo does not run here; ${hint}`
}
