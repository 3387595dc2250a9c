// The table of benchmarks that the package carries. A new one is a file here and a row; studies
// that need a checkout are in bench/studies.

import type { Benchmark } from './benchmark.ts'
import { decode } from './decode.ts'
import { mergeBenchmark } from './merge.ts'
import { micro } from './micro.ts'
import { swap } from './swap.ts'
import { train } from './train.ts'

export const benchmarks: ReadonlyMap<string, Benchmark> = new Map(
  [train, decode, mergeBenchmark, micro, swap].map((benchmark) => [benchmark.name, benchmark]),
)
