// The table of benchmarks. A new one is a file here and a row.

import type { Benchmark } from './benchmark.ts'
import { decode } from './decode.ts'
import { forgetting } from '../../../bench/studies/forgetting.ts'
import { learn } from '../../../bench/studies/learn.ts'
import { mergeBenchmark } from './merge.ts'
import { micro } from './micro.ts'
import { qlora } from '../../../bench/studies/qlora.ts'
import { rates } from '../../../bench/studies/rates.ts'
import { swap } from './swap.ts'
import { thumbs } from '../../../bench/studies/thumbs.ts'
import { train } from './train.ts'

export const benchmarks: ReadonlyMap<string, Benchmark> = new Map(
  [train, qlora, forgetting, learn, thumbs, decode, mergeBenchmark, micro, swap, rates].map((benchmark) => [benchmark.name, benchmark]),
)
