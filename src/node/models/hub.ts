// Fetches models from the Hugging Face hub (or a mirror, HF_ENDPOINT) into the cache: only the
// files that a model needs, each once.

import { readFile, rename, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { FormatError, GraftError, NotFoundError } from '../../base/errors.ts'
import { type HubReference, parseHubReference } from '../../catalogue/hub-reference.ts'
import { listSplitNames } from '../../formats/gguf/split.ts'
import { isCached } from './cache.ts'
import { download, type DownloadProgress, fetchWithin } from './download.ts'
import { resolveInside } from '../files/folder.ts'
import { withLock } from '../files/lock.ts'
import { describeError } from '../files/system-errors.ts'

export interface HubOptions {
  readonly cache: string
  /** Only what is in the cache. */
  readonly offline?: boolean
  /** Base URL; default: the library's. */
  readonly endpoint?: string | undefined
  readonly accessToken?: string | undefined
  readonly onProgress?: ((file: string, progress: DownloadProgress) => void) | undefined
  readonly connectTimeoutMs?: number
}

export { parseHubReference }

interface HubFile {
  readonly path: string
  readonly sizeBytes: number
  /** Known for large files only. */
  readonly sha256?: string | undefined
}

/** What the cache remembers of a revision once all its files are there. */
interface HubSnapshot {
  readonly commit: string
  readonly files: readonly HubFile[]
}

/**
 * The local directory of a model, or the local path of the chosen GGUF; files already in the cache
 * are not fetched again. A branch stays at the commit of its first fetch until the cache is
 * emptied, so that the same name gives the same weights. Throws NotFoundError if it is neither in
 * the cache nor on the hub.
 */
export async function fetchFromHub(reference: HubReference, options: HubOptions): Promise<string> {
  const home = join(options.cache, 'hub', reference.repository.replace('/', '--'))
  const record = join(
    home,
    'refs',
    `${encodeURIComponent(`${reference.revision} ${reference.ggufPath ?? ''}`.trim())}.json`,
  )
  const cached = await findSnapshot(home, record)
  if (cached) return getLocalPath(home, cached, reference)
  if (options.offline)
    throw new NotFoundError(
      `${describeReference(reference)} is not in the cache (${home}), and offline is set`,
    )
  return withLock(`${record}.lock`, async () => {
    // another process may have fetched it while we waited
    const since = await findSnapshot(home, record)
    if (since) return getLocalPath(home, since, reference)
    const snapshot = await fetchSnapshot(home, reference, options)
    await writeFile(`${record}.tmp`, JSON.stringify(snapshot, null, 1))
    await rename(`${record}.tmp`, record)
    return getLocalPath(home, snapshot, reference)
  })
}

const describeReference = ({ repository, revision }: HubReference): string =>
  `hf:${repository}@${revision}`
const getLocalPath = (home: string, { commit }: HubSnapshot, { ggufPath }: HubReference): string =>
  join(home, commit, ...(ggufPath ? [ggufPath] : []))

async function findSnapshot(home: string, record: string): Promise<HubSnapshot | undefined> {
  const text = await readFile(record, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const snapshot = JSON.parse(text) as HubSnapshot
  for (const { path, sizeBytes } of snapshot.files)
    if (!(await isCached(join(home, snapshot.commit, path), sizeBytes))) return undefined
  return snapshot
}

async function fetchSnapshot(
  home: string,
  reference: HubReference,
  options: HubOptions,
): Promise<HubSnapshot> {
  const { endpoint, commit, files } = await listRepository(reference, options)
  const chosen = selectFiles(files, reference)
  for (const file of chosen) {
    const target = join(home, commit, resolveInside(describeReference(reference), file.path))
    if (await isCached(target, file.sizeBytes)) continue
    const url = `${endpoint}/${reference.repository}/resolve/${commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`
    await download(url, target, {
      sizeBytes: file.sizeBytes,
      sha256: file.sha256,
      headers: options.accessToken ? { authorization: `Bearer ${options.accessToken}` } : {},
      onProgress: (progress) => options.onProgress?.(file.path, progress),
      ...(options.connectTimeoutMs !== undefined && { connectTimeoutMs: options.connectTimeoutMs }),
    })
  }
  return { commit, files: chosen }
}

/** The commit behind a revision, and its files. */
async function listRepository(
  reference: HubReference,
  options: HubOptions,
): Promise<{ endpoint: string; commit: string; files: HubFile[] }> {
  // large: loaded only when the hub is asked
  const { HUB_URL, listFiles, modelInfo } = await import('@huggingface/hub')
  const endpoint = (options.endpoint ?? HUB_URL).replace(/\/+$/, '')
  const fetcher: typeof fetch = (url, init) =>
    fetchWithin(options.connectTimeoutMs ?? 3_000, String(url), init)
  const access = {
    hubUrl: endpoint,
    fetch: fetcher,
    ...(options.accessToken && { accessToken: options.accessToken }),
  }
  try {
    const info = await modelInfo({
      name: reference.repository,
      revision: reference.revision,
      additionalFields: ['sha'],
      ...access,
    })
    if (typeof info.sha !== 'string')
      throw new FormatError(`${endpoint} named no commit for ${describeReference(reference)}.`)
    const files: HubFile[] = []
    for await (const entry of listFiles({
      repo: reference.repository,
      revision: info.sha,
      recursive: true,
      ...access,
    })) {
      if (entry.type === 'file')
        files.push({ path: entry.path, sizeBytes: entry.size, sha256: entry.lfs?.oid })
    }
    return { endpoint, commit: info.sha, files }
  } catch (cause) {
    if (GraftError.isInstance(cause)) throw cause
    throw new NotFoundError(
      `${describeReference(reference)}: ${describeError(cause).split('?')[0]}`,
      { cause },
    )
  }
}

const textFiles =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json$|^(chat_template|additional_chat_templates\/[^/]+)\.jinja$/

/**
 * The files of the repository that loading needs. Throws NotFoundError if there are no weights
 * among them.
 */
function selectFiles(files: readonly HubFile[], reference: HubReference): HubFile[] {
  const { ggufPath } = reference
  const parts = ggufPath && (listSplitNames(ggufPath) ?? [ggufPath])
  const chosen = files.filter(({ path }) =>
    parts
      ? parts.includes(path)
      : textFiles.test(path) || /^[^/]+\.safetensors(\.index\.json)?$/.test(path),
  )
  const sharded = chosen.some(({ path }) => path === 'model.safetensors.index.json')
  const weights = chosen.some(({ path }) =>
    ggufPath ? path === ggufPath : path.endsWith('.safetensors'),
  )
  if (!weights) {
    const ggufs = files
      .filter(({ path }) => path.endsWith('.gguf'))
      .map(({ path }) => basename(path))
    const advice =
      ggufs.length > 0
        ? ` It has ${ggufs.join(', ')}: name one, as in hf:${reference.repository}/${ggufs[0]}.`
        : ''
    throw new NotFoundError(
      `${describeReference(reference)} holds no ${ggufPath ?? '.safetensors files'}.${advice}`,
    )
  }
  // Some repositories hold the weights a second time, such as consolidated.safetensors.
  const wanted = sharded
    ? /^model-\d+-of-\d+\.safetensors$/
    : /^(model|adapter_model)\.safetensors$/
  const known = chosen.some(({ path }) => wanted.test(path))
  return chosen.filter(({ path }) => !path.endsWith('.safetensors') || !known || wanted.test(path))
}
