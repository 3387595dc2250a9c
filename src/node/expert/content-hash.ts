// The content hash of an expert's folder, as used in registries, manifests and signatures.

import {
  computeRootDigest,
  isIgnoredPath,
  listResources,
  signatureFile,
} from '../../registry/signing/resources.ts'
import { listFiles } from '../files/list-files.ts'

/** Files of a training run next to its expert, which a registry leaves out. */
export const runFolders: readonly string[] = ['checkpoints']

/** Over all files except the signature and the training run's. */
export async function computeExpertHash(folder: string): Promise<string> {
  const files = await listFiles(folder)
  const own = files.filter(({ path }) => !isIgnoredPath(path, runFolders))
  return computeRootDigest(await listResources(own, [signatureFile]))
}
