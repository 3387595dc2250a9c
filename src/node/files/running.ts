// The running servers and training runs of this user: one small file each, removed at its end.

import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isRecord } from '../../base/schema.ts'
import { isProcessGone } from './atomic-write.ts'
import { createFileSink } from './file-sink.ts'

export interface RunningTask {
  readonly pid: number
  /** 'graft serve' */
  readonly command: string
  /** What it does, for people: a server's address, a run's folder. */
  readonly about: string
  /** As ISO 8601. */
  readonly since: string
}

/** As the file holds it. */
interface AnnouncedTask extends RunningTask {
  readonly startTicks?: string
}

/**
 * When a process started, in clock ticks since the machine did: tells it from a later process of the
 * same number. Undefined where there is no /proc, which is everywhere but on Linux.
 */
async function readStartTicks(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // the name in parentheses may contain blanks; starttime is the 20th field after it
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
}

/** Whether the process that announced the task is still there. */
async function isStillRunning({ pid, startTicks }: AnnouncedTask): Promise<boolean> {
  if (isProcessGone(pid)) return false
  const ticks = await readStartTicks(pid)
  return startTicks === undefined || ticks === undefined || startTicks === ticks
}

/**
 * Announces this process in a folder until the returned function is called. If the folder cannot be
 * written, the task is not listed.
 */
export async function announceTask(
  folder: string,
  task: Pick<RunningTask, 'command' | 'about'>,
  since = new Date(),
): Promise<() => Promise<void>> {
  const name = `${process.pid}-${task.command.replaceAll(' ', '-')}.json`
  const startTicks = await readStartTicks(process.pid)
  const text = JSON.stringify({
    pid: process.pid,
    ...task,
    since: since.toISOString(),
    startTicks,
  })
  await createFileSink(folder)
    .write(name, [new TextEncoder().encode(text)])
    .catch(() => undefined)
  return () => rm(join(folder, name), { force: true }).catch(() => undefined)
}

function parseTask(text: string): AnnouncedTask | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isRecord(value)) return undefined
    const { pid, command, about, since } = value
    return typeof pid === 'number' &&
      [command, about, since].every((one) => typeof one === 'string')
      ? (value as unknown as AnnouncedTask)
      : undefined
  } catch {
    return undefined
  }
}

/** The tasks of running processes, oldest first; removes files of ended processes. */
export async function listRunningTasks(folder: string): Promise<RunningTask[]> {
  const names = await readdir(folder).catch(() => [])
  const found = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map(async (name) => {
        const path = join(folder, name)
        const task = parseTask(await readFile(path, 'utf8').catch(() => ''))
        if (task && (await isStillRunning(task))) {
          const { pid, command, about, since } = task
          return { pid, command, about, since }
        }
        await rm(path, { force: true }).catch(() => undefined)
        return undefined
      }),
  )
  return found
    .filter((task) => task !== undefined)
    .sort((a, b) => a.since.localeCompare(b.since) || a.pid - b.pid)
}
