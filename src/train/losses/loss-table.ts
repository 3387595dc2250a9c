// The table of losses. A new loss is a file and a row here.

import { OptionError } from '../../base/errors.ts'
import { contrastiveLoss } from './contrastive.ts'
import { crossEntropy } from './cross-entropy.ts'
import { distillation } from './distillation.ts'
import { dpo } from './dpo.ts'
import { grpo } from './grpo.ts'
import { ipo } from './ipo.ts'
import { kto } from './kto.ts'
import type { Loss } from './loss.ts'
import { rejection } from './rejection.ts'
import { simpo } from './simpo.ts'

export const losses: ReadonlyMap<string, Loss> = new Map(
  [contrastiveLoss, crossEntropy, distillation, dpo, grpo, ipo, kto, rejection, simpo].map(
    (row) => [row.name, row as Loss],
  ),
)

export function getLoss(name: string): Loss {
  const loss = losses.get(name)
  if (!loss)
    throw new OptionError(
      `There is no loss "${name}". There are: ${[...losses.keys()].join(', ')}.`,
    )
  return loss
}
