// The table of optimisers. A new optimiser is a file and a row here.

import { OptionError } from '../../base/errors.ts'
import { adafactor } from './adafactor.ts'
import { adamw } from './adamw.ts'
import { lion } from './lion.ts'
import type { Optimizer } from './optimizer.ts'
import { sgd } from './sgd.ts'

export const optimizers: ReadonlyMap<string, Optimizer> = new Map(
  [adamw, sgd, lion, adafactor].map((row) => [row.name, row as Optimizer]),
)

export function getOptimizer(name: string): Optimizer {
  const optimizer = optimizers.get(name)
  if (!optimizer)
    throw new OptionError(
      `There is no optimiser "${name}". There are: ${[...optimizers.keys()].join(', ')}.`,
    )
  return optimizer
}
