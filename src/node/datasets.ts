// Data sets of examples by path.

import { basename, dirname } from 'node:path'
import type { AdapterDataset } from '../train/datasets/adapter-dataset.ts'
import { encodeDataset, loadDataset as loadFromFolder } from '../train/datasets/dataset-files.ts'
import { createFileSink } from './files/file-sink.ts'
import { openDirectory } from './files/folder.ts'

/**
 * Writes a data set to a file, whole or not at all: JSONL for texts, safetensors for vectors.
 * Folders on the way are made. Throws StorageError.
 */
export const saveDataset = (dataset: AdapterDataset, path: string): Promise<void> =>
  createFileSink(dirname(path)).write(basename(path), encodeDataset(dataset))

/**
 * Reads what saveDataset wrote; any JSONL of rows is a data set too. Throws NotFoundError,
 * FormatError, DataError naming every bad row.
 */
export const loadDataset = async (path: string): Promise<AdapterDataset> =>
  loadFromFolder(await openDirectory(dirname(path)), basename(path))
