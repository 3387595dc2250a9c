// llama.cpp as a judge of GGUF files: node-llama-cpp with the one binary that this machine needs,
// kept beside downloaded models. Neither a dependency nor part of the package: its own install
// would bring binaries for graphics cards, hundreds of megabytes.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { getCacheDirectory } from '../../src/node/models/cache.ts'
import { root } from './sources.ts'

const version = '3.22.1'
const binaries: Readonly<Record<string, string>> = {
  'linux x64': 'linux-x64',
  'linux arm64': 'linux-arm64',
  'darwin arm64': 'mac-arm64-metal',
  'darwin x64': 'mac-x64',
  'win32 x64': 'win-x64',
  'win32 arm64': 'win-arm64',
}
const installMs = 90_000
const run = promisify(execFile)

const hasLlama = (folder: string): boolean =>
  existsSync(join(folder, 'node_modules', 'node-llama-cpp', 'package.json'))

/**
 * 46 MB of downloads, once; into a folder of its own name first, so that what is there is whole.
 */
async function install(folder: string, binary: string): Promise<void> {
  await mkdir(dirname(folder), { recursive: true })
  const begun = await mkdtemp(`${folder}-`)
  try {
    await writeFile(join(begun, 'package.json'), '{"private":true}')
    const packages = [`node-llama-cpp@${version}`, `@node-llama-cpp/${binary}@${version}`]
    const flags = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund']
    await run('npm', ['install', ...packages, ...flags], {
      cwd: begun,
      timeout: installMs,
      shell: process.platform === 'win32',
    })
    await rename(begun, folder).catch((error: unknown) => {
      if (!hasLlama(folder)) throw error // else another test was faster
    })
  } finally {
    await rm(begun, { recursive: true, force: true })
  }
}

export type Llama = { readonly folder: string } | { readonly reason: string }

/**
 * A folder with node-llama-cpp: that of GRAFT_BENCH_LLAMA, else one in the cache, where it is put
 * once; or why there is none.
 */
export async function llamaCpp(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Llama> {
  const named = environment['GRAFT_BENCH_LLAMA']
  if (named)
    return hasLlama(named)
      ? { folder: named }
      : { reason: `GRAFT_BENCH_LLAMA: ${named} holds no node-llama-cpp` }
  const machine = `${process.platform} ${process.arch}`
  const binary = binaries[machine]
  if (!binary) return { reason: `node-llama-cpp has no binary for ${machine}` }
  const folder = join(getCacheDirectory(environment), 'test', `node-llama-cpp-${version}`)
  try {
    if (!hasLlama(folder)) await install(folder, binary)
    return { folder }
  } catch (error) {
    const reason = `node-llama-cpp (46 MB) cannot be had: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`
    console.warn(`Skipped, since ${reason}`)
    return { reason }
  }
}

export interface GreedyRequest {
  readonly model: string
  readonly lora?: string
  readonly prompts: readonly (readonly number[])[]
  /** New tokens of each answer; an end-of-text token ends it. */
  readonly tokens: number
}

/** What llama.cpp writes, greedily, behind each prompt. */
export async function llamaGreedy(folder: string, request: GreedyRequest): Promise<number[][]> {
  // where it lies, its imports are looked for
  const script = join(folder, `greedy-${process.pid}-${Date.now()}.mjs`)
  await copyFile(join(root, 'test', 'support', 'llama-greedy.mjs'), script)
  try {
    const { stdout } = await run(process.execPath, [script, JSON.stringify(request)], {
      cwd: folder,
      maxBuffer: 1 << 24,
    })
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as number[][]
  } finally {
    await rm(script, { force: true })
  }
}
