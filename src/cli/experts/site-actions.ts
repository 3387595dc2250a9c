// The actions of graft experts that move experts to other places, and update old ones: publish,
// export, import, card, migrate.

import { FormatError } from '../../base/errors.ts'
import { UsageError } from '../command.ts'
import { formatTable } from '../ui/table.ts'
import type { ActionContext, Actions } from './action.ts'
import { toExpertJson } from './show-experts.ts'

export const siteActions: Actions = {
  publish: {
    usage: '<name[@version]> <folder>',
    about: 'writes an expert as static files for any web server, in OCI’s layout',
    words: [2, 2],
    options: ['channel', 'meaning', 'model'],
    async run([reference, folder], { registry, values, terminal }) {
      const { channel: channels, meaning: isEmbedded = false, model } = values
      if (model !== undefined && !isEmbedded)
        throw new UsageError('graft experts publish: --model reads for --meaning: give that too.')
      const { openEmbedder } = await import('./open-embedder.ts')
      const opened = isEmbedded ? await openEmbedder(model, terminal) : undefined
      const { embedder } = opened ?? {}
      const published = await registry
        .publish(reference!, folder!, { channels, embedder })
        .finally(() => opened?.close())
      const { id, version, image } = published
      const also = published.channels.map((channel) => `, ${id}@${channel}`).join('')
      terminal.print(`${id}@${version}${also} is published in ${folder}`)
      terminal.print(`image sha256:${image.hash}; serve the folder by any web server`)
      return { ...toExpertJson(published), image: `sha256:${image.hash}`, out: folder }
    },
  },
  withdraw: {
    usage: '<name[@version]> <folder>',
    about: 'removes a version from the experts published in a folder',
    words: [2, 2],
    options: [],
    async run([reference, folder], { terminal }) {
      const { withdrawExpert } = await import('../../node/registry/publish/publish-expert.ts')
      const { id, version } = await withdrawExpert(reference!, folder!)
      terminal.print(`${id}@${version} is no longer in ${folder}`)
      return { id, version, from: folder }
    },
  },
  export: {
    usage: '<name[@version]> <folder | file.tar>',
    about:
      "copies an expert's files out, as PEFT has them, or as one file (.tar, .tar.gz, .tar.zst)",
    words: [2, 2],
    options: [],
    async run([reference, out], { registry, terminal }) {
      const found = await registry.exportTo(reference!, out!)
      terminal.print(`${found.id}@${found.version} is in ${out}`)
      return { ...toExpertJson(found), out }
    },
  },
  import: {
    usage: '<file.tar>',
    about: 'adds the experts of an archive, also compressed by gzip or Zstandard: all or none',
    words: [1, 1],
    options: ['name', 'version', 'channel', 'key', 'max-bytes'],
    async run([file], { registry, values, terminal, signal }) {
      const { name: id, version, channel: channels, key: keys, 'max-bytes': maxBytes } = values
      const options = { id, version, channels, keys, maxBytes, signal }
      const added = await registry.importFrom(file!, options)
      for (const expert of added)
        terminal.print(`${expert.id}@${expert.version} is in ${registry.location}`)
      return added.map(toExpertJson)
    },
  },
  card: {
    usage: '<name[@version]> [file]',
    about: "writes an expert's card for the hub (README.md), or shows it",
    words: [1, 2],
    options: [],
    async run([reference, file], { registry, terminal }) {
      const { formatFolderCard } = await import('../../node/registry/folder-card.ts')
      const found = await registry.resolve(reference!)
      const text = await formatFolderCard(found)
      if (file === undefined) terminal.write(text)
      else {
        const { writeAtomically } = await import('../../node/files/atomic-write.ts')
        const { writeFile } = await import('node:fs/promises')
        await writeAtomically(file, (place) => writeFile(place, text, { flush: true }))
        terminal.print(`${file} is written`)
      }
      return { id: found.id, version: found.version, card: text, out: file ?? null }
    },
  },
  migrate: {
    usage: '<folder>',
    about: 'shows the changes to older experts; --write makes them, --undo reverts them',
    words: [1, 1],
    options: ['name', 'version', 'write', 'undo'],
    run: ([folder], context) => migrateFolders(folder!, context),
  },
}

interface MigrationRow {
  readonly folder: string
  readonly from: string
  readonly becomes: string
  readonly error?: Error
}

async function migrateFolders(folder: string, { values, terminal }: ActionContext) {
  const { findExpertFolders } = await import('../../node/registry/migrate/migrate-folder.ts')
  const { name, version, write = false, undo = false } = values
  const folders = await findExpertFolders(folder)
  if ((name !== undefined || version !== undefined) && (undo || folders.length > 1))
    throw new UsageError('graft experts migrate: --name and --version are for one folder.')
  const rows: MigrationRow[] = []
  for (const one of folders) rows.push(await (undo ? undoOne(one, write) : migrateOne(one, values)))
  const shown = rows.map((row) => [row.folder, row.from, row.error?.message ?? row.becomes])
  for (const line of formatTable([['folder', 'is', 'becomes'], ...shown])) terminal.print(line)
  if (!write) terminal.print('Nothing was written; add --write.')
  const failed = rows.filter(({ error }) => error)
  if (failed.length > 0)
    throw new FormatError(
      `${failed.length} of ${rows.length} folders cannot be ${undo ? 'brought back' : 'migrated'}:\n${failed.map(({ error }) => `  ${error!.message}`).join('\n')}`,
    )
  return { isWritten: write, folders: rows }
}

async function migrateOne(
  folder: string,
  { name: id, version, write }: ActionContext['values'],
): Promise<MigrationRow> {
  const { applyMigration, planMigration } =
    await import('../../node/registry/migrate/migrate-folder.ts')
  const plan = await planMigration(folder, { id, version, now: new Date().toISOString() })
  const { from, manifest, error } = plan
  if (write && !error) await applyMigration(plan)
  const becomes = manifest
    ? `expert.json: ${manifest.id}@${manifest.version}, ${String(manifest.kind)}, base ${manifest.base.id ?? manifest.base.sha256}`
    : 'as it is'
  return { folder, from, becomes, ...(error && { error }) }
}

async function undoOne(folder: string, write: boolean): Promise<MigrationRow> {
  const { planUndo, undoMigration } = await import('../../node/registry/migrate/migrate-folder.ts')
  const { GraftError } = await import('../../base/errors.ts')
  try {
    const from = await (write ? undoMigration : planUndo)(folder)
    const becomes = from === undefined ? 'as it is: it was not migrated' : from
    return { folder, from: 'expert.json', becomes }
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    return { folder, from: 'expert.json', becomes: '', error }
  }
}
