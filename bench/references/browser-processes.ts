// The processes of a browser that is measured: their time, their memory, their priority.
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import type { Browser } from 'playwright-core'

/** Processor time of a process, in ms. */
export function readProcessorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}
/** Its memory now, or its peak, in MB of 2^20 bytes. */
export const readMemoryMb = (pid: number, field: 'VmHWM' | 'VmRSS'): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024
}

/** Chromium starts its processes at the usual priority; they get ours, with all their threads. */
export async function keepPriority(browser: Browser): Promise<() => void> {
  const session = await browser.newBrowserCDPSession()
  const raise = async (): Promise<void> => {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo')
    for (const { id } of processInfo) setThreadPriority(id)
  }
  await raise()
  const timer = setInterval(() => void raise().catch(() => undefined), 1000)
  return () => clearInterval(timer)
}

function setThreadPriority(pid: number): void {
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`))
      setPriority(Number(thread), getPriority())
  } catch {
    // It has ended since.
  }
}
