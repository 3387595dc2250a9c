// Installs a package of Debian for tests, where this is Debian and the user may. Several test files
// do so at the same time: apt-get refuses all but one of them, so the others try again.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const installMs = 240_000
const againMs = 2_000

/** Whether apt-get can be used here. */
export const canInstall = (): boolean => process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')

/** Whether the package is installed now. */
export async function installPackage(name: string): Promise<boolean> {
  const deadline = performance.now() + installMs
  const runApt = async (...args: string[]): Promise<boolean> => {
    for (;;) {
      const { status, stderr } = spawnSync('apt-get', args, {
        encoding: 'utf8',
        timeout: Math.max(1, Math.round(deadline - performance.now())),
        env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      })
      if (status === 0) return true
      if (!/get lock|lock (file|directory)/i.test(stderr) || performance.now() > deadline)
        return false
      await sleep(againMs)
    }
  }
  const install = () => runApt('install', '-y', '--no-install-recommends', name)
  return (await install()) || ((await runApt('update')) && (await install()))
}
