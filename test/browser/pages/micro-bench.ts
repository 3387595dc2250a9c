// The cases of `graft bench micro` in a page, timed when bench/references/micro-chromium.ts asks.

import { type Call, microCases, quantile, timed } from '../../../src/cli/bench/micro-cases.ts'
import { kernelContext } from '../../../src/micro/index.ts'

const now = (): number => performance.now() * 1000
const calls = new Map<string, Call>()

/** Microseconds a call: the median of so many batches. */
function measure(name: string, size: number, batches: number): number {
  const call = calls.get(name) ?? microCases.find((one) => one.name === name)!.make()
  calls.set(name, call)
  return quantile(timed(call, { now, size, batches }), 0.5)
}

Object.assign(globalThis, { measure, kernels: kernelContext().name })
