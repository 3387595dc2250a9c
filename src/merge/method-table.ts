// The table of merge methods. A new method is a file and a row here.

import type { MergeMethod } from './method.ts'
import { breadcrumbs } from './methods/breadcrumbs.ts'
import { dareLinear, dareTies } from './methods/dare.ts'
import { della } from './methods/della.ts'
import { magnitudePrune } from './methods/magnitude-prune.ts'
import {
  peftDareLinear,
  peftDareTies,
  peftLinear,
  peftMagnitudePrune,
  peftTies,
} from './methods/peft.ts'
import { peftTiesSvd } from './methods/peft-svd.ts'
import { sce } from './methods/sce.ts'
import { slerp } from './methods/slerp.ts'
import { average, cat, taskArithmetic, weighted } from './methods/sums.ts'
import { ties } from './methods/ties.ts'

const rows: readonly MergeMethod[] = [
  average,
  weighted,
  taskArithmetic,
  cat,
  slerp,
  ties,
  dareLinear,
  dareTies,
  magnitudePrune,
  della,
  breadcrumbs,
  sce,
  peftLinear,
  peftTies,
  peftMagnitudePrune,
  peftDareLinear,
  peftDareTies,
  peftTiesSvd,
]

/** By name, in the order they are listed to users. */
export const mergeMethods: ReadonlyMap<string, MergeMethod> = new Map(
  rows.map((row) => [row.name, row]),
)
