export declare const compiledPath: string
export declare function compiledKernels(root: string): Promise<{ readonly text: string; readonly sizes: Readonly<Record<string, number>> }>
