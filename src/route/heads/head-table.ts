// The table of heads. A new head is a file and a row here.

import { centroid } from './centroid.ts'
import { linear } from './linear.ts'
import { logistic } from './logistic.ts'
import { nearest } from './nearest.ts'
import { prototypes } from './prototypes.ts'
import type { HeadKind } from './vector-head.ts'

export const headKinds: ReadonlyMap<string, HeadKind> = new Map(
  [linear, logistic, centroid, nearest, prototypes].map((row) => [row.kind, row]),
)
