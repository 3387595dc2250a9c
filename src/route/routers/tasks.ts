// The tasks router: each expert is represented by vectors of its own validation examples, a few
// points each. Nothing is trained, so adding a thousand experts takes only the time to embed their
// examples. LoRAuter (arXiv 2601.21795).

import { integer, type Fields, withInfo } from '../../base/schema.ts'
import type { RouterKind } from '../router.ts'
import { calibrationOptionFields } from '../training/training-set.ts'
import { fitPrototypes } from '../heads/prototypes.ts'
import { headKinds } from '../heads/head-table.ts'
import { loadEmbedding, trainEmbedding } from './embedding.ts'

const fields = {
  points: integer({
    from: 1,
    default: 1,
    about: 'Points by which each expert is known: more where its examples are of several kinds.',
  }),
  keepExamples: withInfo(integer({ from: 0 }), {
    default: 1,
    about: 'Examples of each expert that the file keeps, for reasons and `explain`.',
  }),
  ...calibrationOptionFields,
} satisfies Fields

export const tasks: RouterKind = {
  kind: 'tasks',
  about: 'each expert represented by vectors of its own validation examples; for many experts',
  needs: ['embedder'],
  fields,
  train(training, options, parts) {
    const { read, about } = headKinds.get('prototypes')!
    const points = options['points'] as number
    return trainEmbedding('tasks', training, options, parts, {
      kind: 'prototypes',
      about,
      read,
      fit: (vectors) => fitPrototypes(vectors, points),
    })
  },
  load: loadEmbedding,
}
