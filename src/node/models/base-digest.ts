// The root digest of a base's files (OMS 1.0, as of an expert): unlike the hash of its tensors it
// covers every byte, and signatures name it. Files of gigabytes are read once: the digest is kept in
// the cache with their sizes and times.

import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import {
  computeRootDigest,
  type ListedFile,
  listResources,
  signatureFile,
} from '../../registry/signing/resources.ts'
import { hashFile } from '../files/list-files.ts'
import { type Environment, getCacheDirectory } from './cache.ts'

/** Signatures beside a base: ours, and what Python's `model_signing` writes by default. */
const signatures = [signatureFile, 'model.sig']
/** A folder with more files has other contents than a base. */
const mostFiles = 1000

/**
 * The digest of the base in this folder, or of a GGUF file with the other parts of a split one;
 * undefined for weights without such a place, as those in memory. Links are followed, because the
 * hub's cache consists of links and what they lead to is loaded. Throws StorageError.
 */
export async function computeBaseDigest(
  path: string,
  environment?: Environment,
): Promise<string | undefined> {
  const files = await listBaseFiles(path)
  if (files === undefined || files.length === 0 || files.length > mostFiles) return undefined
  const facts = JSON.stringify([path, files.map(({ fact }) => fact)])
  const place = join(
    getCacheDirectory(environment),
    'digests',
    createHash('sha256').update(facts).digest('hex').slice(0, 32),
  )
  const kept = await readFile(place, 'utf8').catch(() => '')
  if (/^[0-9a-f]{64}$/.test(kept)) return kept
  const digest = await computeRootDigest(await listResources(files, signatures))
  await keepDigest(place, digest).catch(() => undefined) // a full cache only costs time
  return digest
}

async function keepDigest(place: string, digest: string): Promise<void> {
  await mkdir(dirname(place), { recursive: true })
  const temporary = `${place}.${process.pid}.tmp`
  await writeFile(temporary, digest)
  await rename(temporary, place)
}

interface BaseFile extends ListedFile {
  /** Facts that show whether the file is still the same. */
  readonly fact: readonly unknown[]
}

async function listBaseFiles(path: string): Promise<BaseFile[] | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (!found) return undefined
  // for a model in safetensors the whole folder counts, because its config defines the tensors'
  // meaning
  const isWhole = found.isDirectory() || path.endsWith('.safetensors')
  const folder = found.isDirectory() ? path : dirname(path)
  const entries = await readdir(folder, { withFileTypes: true, recursive: isWhole })
  const names = entries
    .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, sep).length))
    .filter((name) => isWhole || isPartOf(name, basename(path)))
  const files = await Promise.all(names.map((name) => describeFile(folder, name)))
  return files.flatMap((file) => file ?? [])
}

/** Whether it is this GGUF file, or a further part of it. */
function isPartOf(name: string, own: string): boolean {
  const toStem = (text: string): string => text.replace(/-\d{5}-of-(\d{5}\.gguf)$/, '-of-$1')
  return name === own || (toStem(own) !== own && toStem(name) === toStem(own))
}

async function describeFile(folder: string, name: string): Promise<BaseFile | undefined> {
  const path = join(folder, name)
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile()) return undefined
  const { size: sizeBytes, mtimeMs, ino } = found
  return {
    path: name.replaceAll(sep, '/'),
    sizeBytes,
    fact: [name, sizeBytes, mtimeMs, ino],
    hash: () => hashFile(path),
  }
}
