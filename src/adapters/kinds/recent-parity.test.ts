// Adapters on newer architectures against PEFT (test/parity/make_recent.py).

import { recentBase } from '../../../test/support/adapters.ts'
import { parityContract } from './parity.contract.ts'

const noWeight = {
  merge: 'a soft prompt changes no weight',
  slots: 'a soft prompt is served by an attached graph',
}

const kinds: Readonly<Record<string, readonly string[]>> = {
  lfm2: ['lora', 'dora', 'ia3', 'loha', 'lokr', 'vera', 'prompt'],
  granite: ['lora', 'dora', 'ia3'],
  granitemoehybrid: ['lora'],
  ministral3: ['lora'],
  qwen3_5_text: ['lora', 'dora', 'ia3', 'prompt'],
}

/** Chunks of the gated delta rule are of 16 tokens here and of 64 in PyTorch: rounding differs. */
const tolerances: Readonly<Record<string, number>> = { qwen3_5_text: 5e-4 }

for (const [name, list] of Object.entries(kinds))
  for (const kind of list)
    parityContract({
      name: `recent/${name}_${kind}`,
      base: () => recentBase(name),
      ...(tolerances[name] === undefined ? {} : { tolerance: tolerances[name] }),
      ...(kind === 'prompt' ? { skip: noWeight } : {}),
    })
