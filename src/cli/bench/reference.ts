// Runs a reference program and reads its lines of JSON. Returns nothing, and reports it, where the
// program is not installed.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { BenchmarkContext } from './benchmark.ts'

const run = promisify(execFile)
const folder = fileURLToPath(new URL('../../../bench/references/', import.meta.url))

export type ReferenceLine = Readonly<Record<string, unknown>> & { readonly name: string }

async function runReference(
  command: string,
  args: readonly string[],
  options: { cwd?: string },
  context: BenchmarkContext,
): Promise<ReferenceLine[]> {
  try {
    const { stdout } = await run(command, args, { ...options, maxBuffer: 1 << 26 })
    return stdout
      .split('\n')
      .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as ReferenceLine] : []))
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string }
    context.progress(`the reference failed: ${stderr.trim().split('\n').at(-1) || message}`)
    return []
  }
}

/**
 * Lines of a Python reference, run by GRAFT_BENCH_PYTHON (an interpreter with torch, transformers
 * and peft).
 */
export async function runPythonReference(
  script: string,
  args: readonly string[],
  context: BenchmarkContext,
): Promise<ReferenceLine[]> {
  const python = context.environment['GRAFT_BENCH_PYTHON']
  if (!python || !existsSync(folder + script)) {
    context.progress(
      `no reference: set GRAFT_BENCH_PYTHON to a Python with torch, transformers and peft (${script})`,
    )
    return []
  }
  context.progress(`reference: ${script} ${args.join(' ')}`)
  return runReference(python, [folder + script, ...args], {}, context)
}

/**
 * Text that a Python reference prints, for one that does not speak JSON; undefined if it cannot
 * run.
 */
export async function runPythonText(
  script: string,
  args: readonly string[],
  context: BenchmarkContext,
): Promise<string | undefined> {
  const python = context.environment['GRAFT_BENCH_PYTHON']
  if (!python || !existsSync(folder + script)) return undefined
  context.progress(`reference: ${script} ${args.slice(3).join(' ')}`)
  return (await run(python, [folder + script, ...args], { maxBuffer: 1 << 26 })).stdout
}

/**
 * Lines of a program that opens Chromium: there with the sources and their development packages,
 * not in the installed package.
 */
export async function runChromiumReference(
  script: string,
  context: BenchmarkContext,
): Promise<ReferenceLine[]> {
  if (!existsSync(folder + script)) {
    context.progress(`no browser: ${script} runs from the project's sources only`)
    return []
  }
  context.progress(`in Chromium: ${script}`)
  return runReference(process.execPath, [folder + script], {}, context)
}

/**
 * Lines of a Node reference that needs node-llama-cpp, run in GRAFT_BENCH_LLAMA: a folder in which
 * it is installed.
 */
export async function runLlamaReference(
  script: string,
  args: readonly string[],
  context: BenchmarkContext,
): Promise<ReferenceLine[]> {
  const place = context.environment['GRAFT_BENCH_LLAMA']
  if (!place || !existsSync(`${place}/node_modules/node-llama-cpp`)) {
    context.progress(
      'no reference: set GRAFT_BENCH_LLAMA to a folder with node-llama-cpp 3.22.1 (npm i node-llama-cpp@3.22.1 --ignore-scripts)',
    )
    return []
  }
  context.progress(`reference: ${script}`)
  const { copyFile, rm } = await import('node:fs/promises')
  const copy = `${place}/${script}` // module resolution starts at the file, so it has to be next to node_modules
  await copyFile(folder + script, copy)
  const result = await runReference(process.execPath, [copy, ...args], { cwd: place }, context)
  await rm(copy, { force: true })
  return result
}
