// Paths as commands show them: relative to the working directory.

import { relative } from 'node:path'

export const describePath = (path: string): string => relative(process.cwd(), path) || '.'
