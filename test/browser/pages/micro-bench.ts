// The cases of `graft bench micro` in a page, timed when bench/references/micro-chromium.ts asks.

import {
  type Call,
  microCases,
  computeQuantile,
  timeBatches,
} from '../../../src/cli/bench/micro-cases.ts'
import { getKernelContext } from '../../../src/micro/index.ts'

const now = (): number => performance.now() * 1000
const calls = new Map<string, Call>()

/** Microseconds a call: the median of so many batches. */
function measure(name: string, size: number, batches: number): number {
  const call = calls.get(name) ?? microCases.find((one) => one.name === name)!.make()
  calls.set(name, call)
  return computeQuantile(timeBatches(call, { now, size, batches }), 0.5)
}

Object.assign(globalThis, { measure, kernels: getKernelContext().name })
