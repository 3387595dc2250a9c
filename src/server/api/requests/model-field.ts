// The field that names the expert.

import { string } from '../../../base/schema.ts'

export const modelField = string({
  about: 'the base, an expert (`coder`) or a mixture (`coder:0.7+security:0.3`); default: the base',
})
