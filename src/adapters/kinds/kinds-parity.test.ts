// Every kind but LoRA against PEFT.

import { storiesBase } from '../../../test/support/adapters.ts'
import { parityContract, type ParityCase } from './parity.contract.ts'

const cases: readonly Omit<ParityCase, 'base'>[] = [
  { name: 'dora_r6' },
  { name: 'ia3' },
  { name: 'lokr' },
  { name: 'lokr_both' },
  { name: 'more/loha' },
  { name: 'more/loha_dense' },
  { name: 'more/vera' },
  { name: 'more/dora_patterns' },
]

const noWeight = {
  merge: 'a soft prompt changes no weight',
  slots: 'a soft prompt is served by an attached graph',
}
const prompts = ['prompt_8', 'prefix_6'].map((name) => ({ name, skip: noWeight }))

const whole = { slots: 'modules that are saved whole are served by an attached graph' }

const tokens = { slots: 'trained tokens are served by an attached graph' }

for (const one of [
  ...cases,
  ...prompts,
  { name: 'more/modules_to_save', skip: whole },
  { name: 'found/tokens', skip: tokens },
])
  parityContract({ ...one, base: storiesBase })
