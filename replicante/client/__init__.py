"""The SDK: async first; imports only `wire` and the leaves."""
