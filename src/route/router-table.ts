// The table of kinds of routers. A new kind is a file in routers/ and a row here.

import type { RouterKind } from './router.ts'
import { arrow } from './routers/arrow.ts'
import { bandit } from './routers/bandit.ts'
import { classifier } from './routers/classifier.ts'
import { embedding } from './routers/embedding.ts'
import { fixed } from './routers/fixed.ts'
import { keyword } from './routers/keyword.ts'
import { policy } from './routers/policy.ts'

export const routerKinds: ReadonlyMap<string, RouterKind> = new Map(
  [keyword, embedding, policy, fixed, arrow, bandit, classifier].map((row) => [row.kind, row]),
)
