// The Python files that run on a Ray cluster, as they are in the package, and how Graft is started
// on the machines there.

import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { RayAddress } from './ray-address.ts'
import type { ZipEntry } from './zip.ts'

/** `cluster/` at the root of the package or the checkout. */
const folder = resolve(import.meta.dirname, '..', '..', '..', 'cluster')

export async function readIsland(): Promise<readonly ZipEntry[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.py')).sort()
  return Promise.all(
    names.map(async (name) => ({ name, bytes: await readFile(join(folder, name)) })),
  )
}

/** On this machine this very program, elsewhere the `graft` that is installed there. */
export const chooseGraftCommand = (
  { isLocal }: Pick<RayAddress, 'isLocal'>,
  program: string | undefined = process.argv[1],
): readonly string[] =>
  isLocal && program !== undefined ? [process.execPath, resolve(program)] : ['graft']
