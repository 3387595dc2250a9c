// The options of graft train with the fields that check them. This module loads the tables of
// training.

import { defineTrainingManifest, findManifestField } from '../../manifest/training-keys.ts'
import { collectManifestTables } from '../../node/manifests/manifest-tables.ts'
import { createTrainOptions } from './train-option-table.ts'

const manifest = defineTrainingManifest(collectManifestTables())

export const trainOptions = createTrainOptions((key) => {
  const found = findManifestField(manifest, key)
  if (!found) throw new Error(`internal: training manifests have no key ${key}`)
  return found
})

/** Names of kinds, of which --kind takes one or several. */
export const kindNames = findManifestField(manifest, 'kind.name')!
