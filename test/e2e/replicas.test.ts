// A run whose steps several processes share ends with the bytes of one process, also if one of them
// is killed, and if it resumes with another number of them.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { trainInReplicas, type ReplicasOptions } from '../../src/node/replicas/train-in-replicas.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'
import { root } from '../support/sources.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const steps = 6

const listArguments = (out: string): string[] => [
  ...['train', '--model', 'stories260k', '--data', at('rows.jsonl'), '--out', at(out)],
  ...['--rank', '2', '--targets', 'q_proj', '--dropout', '0.1', '--steps', String(steps)],
  ...['--batch-rows', '1', '--batch-tokens', '64', '--accumulation', '4', '--shards', '4'],
  ...['--save-every', '2', '--validation', '0.2', '--validate-every', '3', '--threads', '1'],
]
const hashFile = (out: string): string =>
  createHash('sha256')
    .update(readFileSync(at(out, 'adapter_model.safetensors')))
    .digest('hex')

/** Whether a process of this number is there. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Runs replicas; `onStep` gets each step with the processes of the attempt. */
async function runReplicas(
  out: string,
  changed: Partial<ReplicasOptions>,
  onStep: (step: number, pids: readonly number[]) => void = () => undefined,
): Promise<{ events: TrainEvent[]; lost: string[]; pids: number[] }> {
  const lost: string[] = []
  const all: number[] = []
  let pids: number[] = []
  const events: TrainEvent[] = []
  const main = join(root, 'src', 'cli', 'main.ts')
  const run = trainInReplicas({
    command: [process.execPath, main, ...listArguments(out)],
    size: 2,
    out: at(out),
    onStart: (started) => {
      pids = started.map(Number)
      all.push(...pids)
    },
    onLost: ({ attempt, rank, reason }) => lost.push(`${attempt}: ${rank} ${reason}`),
    ...changed,
  })
  for await (const event of run) {
    events.push(event)
    if (event.type === 'step-end') onStep(event.step, pids)
  }
  return { events, lost, pids: all }
}

let expected: string
beforeAll(async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows.slice(0, 24)))
  await succeed(listArguments('alone'))
  expected = hashFile('alone')
})

describe('replicas as processes', { timeout: 240_000 }, () => {
  it('end with the bytes of one process, and say how they did', async () => {
    const { stdout } = await succeed([...listArguments('two'), '--replicas', '2'])
    expect(hashFile('two')).toBe(expected)
    expect(stdout).toContain('in 2 processes of a thread each')
    expect(stdout).toMatch(/gradients added up in \d+ ms at the median/)
    expect(existsSync(at('two', 'loss.svg'))).toBe(true)
  })
  it('continue from the last checkpoint after a SIGKILL of either', async () => {
    const killed = new Set<number>()
    const { lost, events, pids } = await runReplicas('killed', {}, (step, own) => {
      const rank = step === 3 ? 1 : step === 5 ? 0 : undefined
      if (rank === undefined || killed.has(step)) return
      killed.add(step)
      process.kill(own[rank]!, 'SIGKILL')
    })
    expect(lost).toEqual(['1: 1 SIGKILL', '2: 0 SIGKILL'])
    const resumed = events.flatMap((event) =>
      event.type === 'data-ready' ? [event.resumedAt] : [],
    )
    expect(resumed).toEqual([0, 2, 4])
    expect(hashFile('killed')).toBe(expected)
    expect(pids.filter(isRunning)).toEqual([])
  })
  it('stop together, four of them, and continue as two', async () => {
    const controller = new AbortController()
    const { events } = await runReplicas('stopped', { size: 4, signal: controller.signal }, () =>
      controller.abort(),
    )
    expect(events.at(-1)).toMatchObject({ type: 'train-end', reason: 'stopped' })
    expect(existsSync(at('stopped', 'adapter_config.json'))).toBe(false)
    await succeed([...listArguments('stopped'), '--resume', '--replicas', '2'])
    expect(hashFile('stopped')).toBe(expected)
  })
  it('give up after the last attempt, naming the lost replica and the reason', async () => {
    const run = runReplicas('lost', { attempts: 2 }, (_step, pids) =>
      process.kill(pids[1]!, 'SIGKILL'),
    )
    await expect(run).rejects.toThrow(
      /Replica 1 of 2 was lost in attempt 2 of 2 \(SIGKILL.*resume continues/,
    )
  })
  it('tell what is wrong with a run once, and do not try again', async () => {
    const run = runReplicas('wrong', {
      command: [
        process.execPath,
        join(root, 'src', 'cli', 'main.ts'),
        ...listArguments('wrong'),
        ...['--learning-rate', '1e30', '--clip', '0'],
      ],
    })
    await expect(run).rejects.toThrow(/Training stopped at step \d+/)
  })
})

describe('--replicas', { timeout: 120_000 }, () => {
  it.each([
    [['--replicas', '3'], 'expected a power of two'],
    [['--replicas', '8'], '8 replicas cannot share 4 shards'],
    [['--replicas', '2', '--plan'], '--plan works only for one process'],
  ])('refuses %j', async (more, message) => {
    const { code, stderr } = await graft([...listArguments('refused'), ...more])
    expect(code).not.toBe(0)
    expect(stderr).toContain(message)
    expect(existsSync(at('refused'))).toBe(false)
  })
  it('is refused with several training manifests', async () => {
    const { code, stderr } = await graft(['train', 'a.yaml', 'b.yaml', '--replicas', '2'])
    expect(code).toBe(2)
    expect(stderr).toContain('--replicas is for one expert')
  })
})
