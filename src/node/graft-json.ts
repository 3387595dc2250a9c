// graft.json in an adapter's folder: the base and the system message of its training, which PEFT's
// files cannot hold.

import { FormatError } from '../base/errors.ts'
import type { ByteSink } from '../formats/byte-source.ts'
import { openDirectory } from './files/folder.ts'

export interface ExpertMetadata {
  /** The name the base was loaded by. */
  readonly base: string
  /** The system message of the training rows that had none. */
  readonly system?: string
}

const metadataFile = 'graft.json'

export async function writeExpertMetadata(notes: ExpertMetadata, sink: ByteSink): Promise<void> {
  await sink.write(metadataFile, [
    new TextEncoder().encode(`${JSON.stringify({ version: 1, ...notes }, null, 2)}\n`),
  ])
}

/** The metadata in an adapter's folder; undefined where another tool saved it. */
export async function readExpertMetadata(path: string): Promise<ExpertMetadata | undefined> {
  const source = await (await openDirectory(path)).open(metadataFile)
  if (!source) return undefined
  try {
    const value = JSON.parse(
      new TextDecoder().decode(await source.read(0, source.sizeBytes)),
    ) as ExpertMetadata
    if (typeof value?.base === 'string' && ['string', 'undefined'].includes(typeof value.system))
      return value
    throw new FormatError(
      `${source.name}: holds no notes on an expert. Remove it to go on without.`,
    )
  } catch (cause) {
    if (cause instanceof SyntaxError)
      throw new FormatError(`${source.name}: is not JSON. Remove it to go on without.`, { cause })
    throw cause
  } finally {
    await source.close?.()
  }
}
