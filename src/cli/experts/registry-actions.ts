// The actions of graft experts over one registry: add, list, show, search, tag, verify, remove …

import type { Registry } from '../../registry/registry.ts'
import { UsageError } from '../command.ts'
import { formatBytes } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'
import type { Actions, ExpertsValues } from './action.ts'
import { listDifferences } from './diff-experts.ts'
import { fetchExpert, openFrom } from './open-published.ts'
import { searchAction } from './search-experts.ts'
import { listExpertRows, toExpertJson, toManifestLines } from './show-experts.ts'

export const registryActions: Actions = {
  add: {
    usage: '<folder | released | name[@version] --from …>',
    about: 'copies an expert into the registry, or fetches one that is published',
    words: [1, 1],
    options: ['name', 'version', 'channel', 'from', 'key', 'max-bytes', 'allow-private'],
    async run([source], context) {
      const { registry, values, terminal } = context
      const { name: id, version, channel: channels } = values
      const isPublished = values.from !== undefined
      checkTogether(values, isPublished, 'from', ['key', 'max-bytes', 'allow-private'])
      checkTogether(values, !isPublished, undefined, ['name', 'version'])
      const folder = isPublished ? undefined : await findSourceFolder(source!)
      const added =
        folder === undefined
          ? await fetchExpert(source!, context)
          : await registry.add(folder, { id, version, channels })
      if (folder !== undefined) await reportLeftOut(folder, terminal)
      terminal.print(`${added.id}@${added.version} is in ${registry.location}`)
      terminal.print(`sha256:${added.hash}, ${formatBytes(added.sizeBytes)}`)
      return toExpertJson(added)
    },
  },
  list: {
    usage: '[name]',
    about: 'the newest version of each expert, or all versions of one',
    words: [0, 1],
    options: ['from', 'allow-private'],
    async run([id], context) {
      const { registry, terminal } = context
      const published = await openFrom(context)
      const experts = published ? published.list(id) : await registry.list(id)
      for (const line of formatTable(listExpertRows(experts))) terminal.print(line)
      if (experts.length === 0)
        terminal.print('The registry is empty; graft experts add <folder> adds an expert.')
      return experts.map(toExpertJson)
    },
  },
  show: {
    usage: '<name[@version]>',
    about: 'manifest, hash, channels, path',
    words: [1, 1],
    options: ['from', 'allow-private'],
    async run([reference], context) {
      const published = await openFrom(context)
      const found = published
        ? Object.assign({}, published.resolve(reference!), { location: published.name })
        : await context.registry.resolve(reference!)
      for (const line of toManifestLines(found)) context.terminal.print(line)
      return { ...toExpertJson(found), location: found.location }
    },
  },
  search: searchAction,
  tag: {
    usage: '<name[@version]>',
    about: 'adds and removes tags',
    words: [1, 1],
    options: ['tag', 'untag'],
    async run([reference], { registry, values, terminal }) {
      const { tag: add = [], untag: remove = [] } = values
      if (add.length + remove.length === 0)
        throw new UsageError('graft experts tag needs --tag or --untag.')
      const found = await registry.tag(reference!, { add, remove })
      terminal.print(`${found.id}@${found.version}: ${found.tags.join(', ') || 'no tags'}`)
      return toExpertJson(found)
    },
  },
  channel: {
    usage: '<name> [version]',
    about: 'points channels to a version, or removes them if none is given',
    words: [1, 2],
    options: ['channel'],
    async run([id, version], { registry, values, terminal }) {
      const { channel: channels = [] } = values
      if (channels.length === 0) throw new UsageError('graft experts channel needs --channel.')
      for (const channel of channels) await registry.setChannel(id!, channel, version)
      terminal.print(`${channels.join(', ')} → ${version ?? 'nothing'}`)
      return { id, channels, version: version ?? null }
    },
  },
  verify: {
    usage: '<name[@version] | folder>',
    about: 'compares files with their hash, and with a signature if --key is given',
    words: [1, 1],
    options: ['key'],
    async run([reference], { registry, values, terminal }) {
      const { key: keys } = values
      const { isFolder, place, hash } = await findFolder(reference!, registry)
      if (isFolder && keys === undefined)
        throw new UsageError('graft experts verify <folder> needs --key, a trusted public key.')
      if (!isFolder) await registry.verify(reference!)
      if (keys) await (await import('../../node/registry/sign-folder.ts')).verifyFolder(place, keys)
      const by = keys ? ', signed by a trusted key' : ''
      terminal.print(`${reference}: every file is unchanged${by}`)
      return { place, hash, isSigned: keys !== undefined }
    },
  },
  sign: {
    usage: '<folder>',
    about: 'writes expert.sig into the folder, by --key',
    words: [1, 1],
    options: ['key'],
    async run([folder], { values, terminal }) {
      const [key, ...others] = values.key ?? []
      if (key === undefined || others.length > 0)
        throw new UsageError('graft experts sign needs one --key, a private key in PEM.')
      const { signFolder } = await import('../../node/registry/sign-folder.ts')
      const signature = await signFolder(folder!, key)
      terminal.print(`${signature} is written`)
      return { signature }
    },
  },
  remove: {
    usage: '<name[@version]>',
    about: 'removes a version; its files go with the last version that has them',
    words: [1, 1],
    options: [],
    async run([reference], { registry, terminal }) {
      const removed = await registry.remove(reference!)
      terminal.print(`${removed.id}@${removed.version} is removed`)
      return toExpertJson(removed)
    },
  },
  gc: {
    usage: '',
    about: 'removes files that no version needs, and leftovers of ended processes',
    words: [0, 0],
    options: [],
    async run(_, { registry, terminal }) {
      const freedBytes = await registry.collectGarbage()
      terminal.print(`${formatBytes(freedBytes)} freed`)
      return { freedBytes }
    },
  },
  diff: {
    usage: '<name[@version]> <name[@version]>',
    about: 'what differs between two manifests, and whether the files do',
    words: [2, 2],
    options: [],
    async run([first, second], { registry, terminal }) {
      const a = await registry.resolve(first!)
      const b = await registry.resolve(second!)
      const rows = listDifferences(a, b)
      for (const line of formatTable(rows.map(({ key, before, after }) => [key, before, after])))
        terminal.print(line)
      if (rows.length === 0) terminal.print('They are identical.')
      return rows
    },
  },
}

/** Reports what of a run's folder is not copied. */
async function reportLeftOut(folder: string, terminal: Terminal): Promise<void> {
  const { stat } = await import('node:fs/promises')
  const { runFolders } = await import('../../node/expert/content-hash.ts')
  for (const name of runFolders)
    if ((await stat(`${folder}/${name}`).catch(() => undefined))?.isDirectory())
      terminal.note(`${folder}: ${name} is left out, because it belongs to the training run.`)
}

/** The folder of a released expert of this name, unless the text is a path. */
async function findSourceFolder(text: string): Promise<string> {
  const { findNamedExpert } = await import('../../node/library/released.ts')
  return (await findNamedExpert(text, null)) ?? text
}

/** A folder on the disk, or the place of a registered expert. */
async function findFolder(
  text: string,
  registry: Registry,
): Promise<{ isFolder: boolean; place: string; hash: string | undefined }> {
  const { stat } = await import('node:fs/promises')
  if ((await stat(text).catch(() => undefined))?.isDirectory())
    return { isFolder: true, place: text, hash: undefined }
  const { location, hash } = await registry.resolve(text)
  return { isFolder: false, place: location, hash }
}

/** Options that mean something with --from alone, or without it alone. */
function checkTogether(
  values: ExpertsValues,
  isAllowed: boolean,
  needed: 'from' | undefined,
  names: readonly (keyof ExpertsValues)[],
): void {
  const wrong = isAllowed ? [] : names.filter((name) => values[name])
  if (wrong.length === 0) return
  const shown = wrong.map((name) => `--${name}`).join(', ')
  throw new UsageError(
    needed
      ? `graft experts add: ${shown} is for --from.`
      : `graft experts add --from: ${shown} cannot be given: a published expert keeps its name and version.`,
  )
}
