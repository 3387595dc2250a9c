// The table of kinds of routers. A new kind is a file in routers/ and a row here.

import type { RouterKind } from './router.ts'
import { embedding } from './routers/embedding.ts'
import { fixed } from './routers/fixed.ts'
import { keyword } from './routers/keyword.ts'

export const routerKinds: ReadonlyMap<string, RouterKind> = new Map(
  [keyword, embedding, fixed].map((row) => [row.kind, row]),
)
