// The options of loading a base model, as a table. The command line reads the same rows.

import {
  createField,
  flag,
  oneOf,
  positiveInteger,
  unchecked,
  withInfo,
} from '../../base/schema.ts'
import { ropeScalingField } from '../../graph/models/rope-scaling.ts'

/** What `resolveModel` takes. */
export const resolveFields = {
  onProgress: unchecked('a function'),
  offline: flag({ about: 'use only what is on this machine' }),
  environment: unchecked('an object of environment variables'),
}

const dateField = createField<Date>('a Date', {}, (value) => value instanceof Date)

/** What `loadModel` takes. */
export const loadFields = {
  ...resolveFields,
  weights: oneOf(['file', 'f32', 'q4', 'q8'], { about: 'how weights are kept' }),
  date: dateField,
  ropeScaling: ropeScalingField,
  today: dateField,
  threads: withInfo(positiveInteger, {
    about: "threads to compute with (else GRAFT_THREADS, else the machine's)",
  }),
}
