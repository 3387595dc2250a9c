// The table of kinds of routers. A new kind is a file in routers/ and a row here.

import type { RouterKind } from './router.ts'
import { fixed } from './routers/fixed.ts'

export const routerKinds: ReadonlyMap<string, RouterKind> = new Map(
  [fixed].map((row) => [row.kind, row]),
)
