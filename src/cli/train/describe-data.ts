// The data of a training run as text.

import type { TrainingRun } from '../../node/manifests/training-run.ts'
import { describePath } from '../shared/describe-path.ts'

/** The paths of a run's data, or the name of a role's data set. */
export const describeData = ({ data, dataFiles }: TrainingRun): string =>
  typeof data === 'object' && 'level' in data ? data.name : dataFiles.map(describePath).join(', ')
