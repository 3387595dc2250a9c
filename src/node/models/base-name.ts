// Whether a base's name can be resolved.

import { stat } from 'node:fs/promises'
import { catalogue } from '../../catalogue/catalogue.ts'

export { getBaseName, getBaseSource } from '../../catalogue/base-names.ts'

/** Whether a source can be resolved: a path must exist, a name of the hub may be fetched. */
export const isOnThisMachine = async (source: string): Promise<boolean> =>
  source.startsWith('hf:') ||
  catalogue.has(source) ||
  (await stat(source).catch(() => undefined)) !== undefined
