// The forms in which training accepts data, and their conversion to one form.

import { createField, type Field, isRecord } from '../../base/schema.ts'
import type { EncodedData } from '../data/encode.ts'
import { createRawDataset, type RawDataset } from '../data/jsonl.ts'
import {
  type AdapterDataset,
  type TextDataset,
  toTrainingData,
} from '../datasets/adapter-dataset.ts'
import { describeType } from '../../base/opaque-field.ts'

/** Rows in memory, rows of a file, a data set of texts, or rows that are encoded already. */
export type TrainData = readonly object[] | RawDataset | TextDataset | EncodedData

/** Held-out data, on which a run only measures its loss. */
export interface ValidationOptions<Data = TrainData> {
  /** Separate rows, or the share of `data` that is held back: 0.1. */
  readonly data: Data | number
  /**
   * Steps between validations; the default is the end of each epoch. There is always one after the
   * last step.
   */
  readonly everySteps?: number | undefined
}

/** Validation with its options, or the data alone. */
export type ValidationInput<Data = TrainData> = Data | number | ValidationOptions<Data>

const expected = 'rows in memory, or a data set of readDataFile, createTextDataset or encodeData'

/** The problem of data, in one line; undefined if there is none. */
function findDataProblem(value: unknown, what: string): string | undefined {
  if (Array.isArray(value) || (isRecord(value) && Array.isArray(value['rows']))) return undefined
  const isVectors = isRecord(value) && value['level'] === 'embedding'
  return isVectors
    ? `got a data set of vectors, expected ${what}; train an adapter over vectors with trainStandalone`
    : `got ${describeType(value)}, expected ${what}`
}

/** A field for training data; `isOther`: further forms that `what` names. */
export function createDataField<Data>(
  what = expected,
  isOther: (value: unknown) => boolean = () => false,
): Field<Data> {
  const findProblems = (value: unknown, name: string): string[] => {
    const problem = isOther(value) ? undefined : findDataProblem(value, what)
    return problem === undefined ? [] : [`${name}: ${problem}`]
  }
  const is = (value: unknown): boolean => findProblems(value, '').length === 0
  return { ...createField<Data>(what, {}, is), findProblems }
}

/** The data as rows of a named data set, or as it was encoded. */
export function toRows(data: TrainData): RawDataset | EncodedData {
  if (Array.isArray(data)) return createRawDataset(data as readonly object[], 'data')
  const dataset = data as RawDataset | EncodedData | AdapterDataset
  return 'level' in dataset ? toTrainingData(dataset as TextDataset) : dataset
}

const hasOptions = <Data>(value: ValidationInput<Data>): value is ValidationOptions<Data> =>
  isRecord(value) && 'data' in value && !('rows' in value)

/** Validation with its options, from either form. */
export function resolveValidation<Data>(
  given: ValidationInput<Data> | undefined,
): ValidationOptions<Data> | undefined {
  if (given === undefined) return undefined
  if (hasOptions(given)) return given
  return { data: given }
}
