// The card for the hub of a registered expert: its manifest, and the base as the hub names it.

import { openDirectory } from '../files/folder.ts'
import { readAdapterConfig } from '../../adapters/files/peft.ts'
import { formatModelCard } from '../../registry/card/format-card.ts'
import type { ExpertManifest } from '../../registry/manifest/expert-manifest.ts'
import type { ResolvedExpert } from '../../registry/registry.ts'
import { getBaseName } from '../models/base-name.ts'

/** The card's text. Tags that the registry gave are in it. */
export async function formatFolderCard({
  location,
  manifest,
  tags,
}: Pick<ResolvedExpert, 'location' | 'manifest' | 'tags'>): Promise<string> {
  const own: ExpertManifest = tags.length > 0 ? Object.assign({}, manifest, { tags }) : manifest
  return formatModelCard(own, { baseModel: await findHubName(location, manifest) })
}

/** The base in PEFT's configuration, else the hub's name of the base that was loaded. */
async function findHubName(folder: string, { base }: ExpertManifest): Promise<string | undefined> {
  const json = await readAdapterConfig(await openDirectory(folder))
  const { base_model_name_or_path: named } = json as Readonly<Record<string, unknown>>
  if (typeof named === 'string' && named !== '') return named
  return base.id === undefined ? undefined : getBaseName(base.id)
}
