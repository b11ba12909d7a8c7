/** Adds the commands of chemistry to the library; gives nothing back. */
declare module 'katex/contrib/mhchem';
