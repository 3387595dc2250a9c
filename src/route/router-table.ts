// The table of kinds of routers. A new kind is a file in routers/ and a row here.

import type { RouterKind } from './router.ts'
import { arrow } from './routers/arrow.ts'
import { bandit } from './routers/bandit.ts'
import { cascade } from './routers/cascade.ts'
import { classifier } from './routers/classifier.ts'
import { embedding } from './routers/embedding.ts'
import { fixed } from './routers/fixed.ts'
import { hierarchical } from './routers/hierarchical.ts'
import { keyword } from './routers/keyword.ts'
import { mixture } from './routers/mixture.ts'
import { policy } from './routers/policy.ts'
import { tasks } from './routers/tasks.ts'

const rows: readonly RouterKind[] = [
  keyword,
  embedding,
  policy,
  cascade,
  hierarchical,
  fixed,
  tasks,
  arrow,
  bandit,
  classifier,
  mixture,
]

export const routerKinds: ReadonlyMap<string, RouterKind> = new Map(
  rows.map((row) => [row.kind, row]),
)
