// Adapters of an embedding and of the head that may share it, against PEFT.

import { architectureBase, storiesBase } from '../../../test/support/adapters.ts'
import { parityContract, type ParityCase } from './parity.contract.ts'

const slots = 'the embedding and the head are served by an attached graph'
const merge = 'embedding and head differ, and share one weight in this base'
const training = 'the fixture has gradients alone'

const onStories: readonly Omit<ParityCase, 'base'>[] = [
  { name: 'kind', skip: { slots } },
  { name: 'kind_head', skip: { slots, merge } },
  { name: 'tokens_same', skip: { slots } },
  { name: 'tokens_two', skip: { slots, merge } },
  { name: 'targets', skip: { slots } },
  { name: 'targets_regex', skip: { slots } },
]
for (const one of onStories) parityContract({ ...one, name: `tied/${one.name}`, base: storiesBase })

for (const name of ['kind_untied', 'tokens_untied'])
  parityContract({
    name: `tied/${name}`,
    base: () => architectureBase('llama'),
    skip: { slots },
  })

const tiedBase = () => architectureBase('llama_tied_headdim')
parityContract({ name: 'tied/saved', base: tiedBase, skip: { slots } })
parityContract({ name: 'tied/saved_two', base: tiedBase, skip: { slots, merge, training } })
