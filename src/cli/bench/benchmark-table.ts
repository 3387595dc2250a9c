// The table of benchmarks in the package. A new benchmark is a file here and a row; studies that
// need a checkout are in bench/studies.

import type { Benchmark } from './benchmark.ts'
import { decodeBenchmark } from './decode.ts'
import { serveHttpBenchmark } from './http/serve-http.ts'
import { kvBenchmark } from './kv.ts'
import { mergeBenchmark } from './merge.ts'
import { microBenchmark } from './micro.ts'
import { packedBenchmark } from './packed.ts'
import { poolBenchmark } from './pool.ts'
import { registryBenchmark } from './registry/registry.ts'
import { serveBenchmark } from './serve/serve.ts'
import { swapBenchmark } from './swap.ts'
import { trainBenchmark } from './train.ts'
import { webBenchmark } from './web/web.ts'

export const benchmarks: ReadonlyMap<string, Benchmark> = new Map(
  [
    trainBenchmark,
    decodeBenchmark,
    mergeBenchmark,
    microBenchmark,
    packedBenchmark,
    swapBenchmark,
    kvBenchmark,
    poolBenchmark,
    registryBenchmark,
    serveBenchmark,
    serveHttpBenchmark,
    webBenchmark,
  ].map((benchmark) => [benchmark.name, benchmark]),
)
